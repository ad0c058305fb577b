"""Mutation testing of what decides a call's outcome."""
