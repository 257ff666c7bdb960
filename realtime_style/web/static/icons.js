// Icons as paths in a square of 24, drawn with strokes of 2.
const paths = {
  stop: "M6 6h12v12H6z",
  split: "M12 3v18M4 6h5v12H4zM15 6h5v12h-5z",
  mirror: "M12 3v18M9 7 4 17h5zM15 7l5 10h-5z",
  freeze: "M9 5v14M15 5v14",
  snapshot: "M4 8h4l2-3h4l2 3h4v11H4zM12 16a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  record: "M12 18a6 6 0 1 0 0-12 6 6 0 0 0 0 12z",
  sound: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  help: "M9 9a3 3 0 1 1 4 2.8c-.8.4-1 1-1 1.7v.5M12 17.5v.01",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}
