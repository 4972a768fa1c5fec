"""The machinery of runs, not public: what patching, lenses, heads and circuits stand on."""
