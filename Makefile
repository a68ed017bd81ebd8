.PHONY: test demo docs site format lock

test:
	scripts/test

demo:
	scripts/demo

docs:
	scripts/docs

site:
	.qero/venv/bin/mkdocs build --quiet

format:
	.qero/venv/bin/ruff format .
	.qero/venv/bin/ruff check --fix .

lock:
	.qero/venv/bin/python -m pip install --quiet uv
	.qero/venv/bin/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --all-extras \
	  --python-version 3.11 pyproject.toml --output-file requirements.lock --quiet
	cd qero/local/tools && npm install --package-lock-only --no-audit --no-fund
