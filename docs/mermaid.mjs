// Draws the diagrams, which stand in the pages as text, and stay text where the network is away.
import mermaid from "https://cdn.jsdelivr.net/npm/mermaid@11/dist/mermaid.esm.min.mjs";

const dark = document.documentElement.dataset.bsTheme === "dark";
mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default" });
for (const text of document.querySelectorAll("pre > code.language-mermaid")) {
  const drawing = document.createElement("div");
  drawing.className = "mermaid";
  drawing.textContent = text.textContent;
  text.parentElement.replaceWith(drawing);
}
await mermaid.run();
