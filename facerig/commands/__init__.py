"""The sub-commands, one module each with `register(app)`. They parse options, call the library and print; no maths."""
