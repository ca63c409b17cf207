"""Adapters: framework in, framework out. Import the one for your framework."""
