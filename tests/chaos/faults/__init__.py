"""The faults, grouped by what they hit. Each class is one: tests.chaos.fault.Fault says what it declares."""
