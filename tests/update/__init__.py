"""Tests of updates: from each released version to this one, and from this one to the next."""
