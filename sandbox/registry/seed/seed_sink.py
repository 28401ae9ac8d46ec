"""Where seeded objects go: the API, and the inventory that counts them."""

from __future__ import annotations

from sandbox.registry.api import IMAGE_STREAMS, IMAGES, ApiClient, ApiFailureError, JsonObject
from sandbox.registry.objects import namespace_object
from sandbox.registry.seed.inventory import SeedInventory

PROJECTS = ("shop", "billing", "search", "payments", "reporting", "identity")


class SeedSink:
    """Creates the objects of one run of ``seed``.

    :param api: a client that may create namespaces, images and image streams.
    :param seed: part of every namespace's name, so that runs do not meet.
    """

    def __init__(self, api: ApiClient, seed: int) -> None:
        self._api = api
        self._seed = seed
        self._namespaces: set[str] = set()
        self.inventory = SeedInventory(seeds=[seed])

    def namespace(self, project: str) -> str:
        """The name of the project's namespace, which is made if it is not there."""
        name = f"{project}-{self._seed}"
        if name not in self._namespaces:
            try:
                self._api.create("namespaces", namespace_object(name))
            except ApiFailureError as error:
                if error.code != 409:
                    raise
            self._namespaces.add(name)
        return name

    def create_image(self, image: JsonObject) -> None:
        """Create an Image."""
        self._api.create(IMAGES, image)
        self.inventory.images += 1

    def create_stream(self, stream: JsonObject) -> None:
        """Create an ImageStream with its status."""
        created = self._api.create(IMAGE_STREAMS, stream)
        # The API may leave the status out of what is created.
        if created.get("status", {}).get("tags") != stream["status"]["tags"]:
            self._api.replace_status(IMAGE_STREAMS, {**created, "status": stream["status"]})
        self.inventory.image_streams += 1
