// What is painted: everything, people or the background; two lists to choose from.
import { text } from "./strings.js";

/** Fills the lists. The second is for painted people only. */
export function listParts(only, background) {
  only.replaceChildren(...Object.entries(text.parts).map(([value, words]) => new Option(words, value)));
  background.replaceChildren(
    ...Object.entries(text.backgrounds).map(([value, words]) => new Option(words, value)),
  );
}

/** Shows a choice; a colour from the command line that is not listed is added. */
export function showParts(only, background, field, wanted) {
  only.value = wanted.only ?? "";
  const seen = wanted.background || "original";
  if (![...background.options].some(({ value }) => value === seen)) background.append(new Option(seen, seen));
  background.value = seen;
  field.hidden = only.value !== "person";
}
