"""Tests of streams/gaps."""
