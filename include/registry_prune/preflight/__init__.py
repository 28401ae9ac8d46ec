"""May this run start, and is now the moment?"""
