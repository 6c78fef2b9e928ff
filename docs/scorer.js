// First pages with the word in their title, then headings that are the word, then functions.
var Scorer = {
  score: ([docname, title, anchor, description, score, file, kind]) =>
    kind === "title" ? 2 * score : kind === "text" && score >= 15 ? 2 * score + 1 : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
