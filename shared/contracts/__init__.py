"""Public events and their envelope: where the services meet."""
