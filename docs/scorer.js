// First titles of pages, then other headings, then functions, and last what changed, and for those
// who change it; all else as in Sphinx.
var Scorer = {
  score: ([docname, title, anchor, description, score, file, kind]) => {
    if (kind === "title") return 2 * score + (anchor ? 0 : 5);
    return ["CHANGELOG", "CONTRIBUTING"].includes(docname) ? score - 3 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
