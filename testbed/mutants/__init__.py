"""Mutation testing of the project's own code.

cosmic-ray's operators make the mutants. Each one runs only against the tests whose recorded
coverage touches its line, in copies of the tree that live in the cache.
"""
