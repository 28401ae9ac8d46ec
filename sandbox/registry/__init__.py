"""The registry of the sandbox: its storage, what fills it, what prunes it, and what looks whether it is whole."""
