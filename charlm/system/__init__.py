"""The process and the machine: signals, devices, the cache directory, files that are replaced whole, the lock."""
