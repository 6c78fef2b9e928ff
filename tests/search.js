// What the site's search finds first for each query, by the site's own scripts, without a browser:
// node search.js SITE QUERY...
const fs = require("fs");
const vm = require("vm");

const [site, ...queries] = process.argv.slice(2);
const page = vm.createContext({
  document: { getElementById: () => null },
  _ready: () => {},
  _: (text) => text,
  SPHINX_HIGHLIGHT_ENABLED: false,
  queries,
});
page.window = page;
for (const script of ["_static/language_data.js", "_static/searchtools.js", "searchindex.js"])
  vm.runInContext(fs.readFileSync(`${site}/${script}`, "utf8"), page);
const found = vm.runInContext(
  "queries.map((query) => Search._performSearch(...Search._parseQuery(query)).pop())",
  page,
);
console.log(JSON.stringify(found.map((first) => (first ? first[0] + first[2] : null))));
