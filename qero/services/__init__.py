"""One class per file, made from one injected client. SQL decides; these translate."""
