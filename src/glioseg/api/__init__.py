"""The Python API, whose names `import glioseg` offers; the command line uses it too."""
