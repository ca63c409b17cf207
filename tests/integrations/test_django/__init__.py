"""The Django app and its REST framework module. Django is configured by a fixture, never by an import."""
