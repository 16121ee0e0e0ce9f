"""The machinery behind the course: set-up, doctor, assets, corpora, build, lint, equations, verbs."""
