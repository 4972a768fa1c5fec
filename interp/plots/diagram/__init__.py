"""Circuit diagrams: SVG, PNG, an HTML page; Mermaid, DOT, GraphML, networkx."""
