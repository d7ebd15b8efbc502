// node npm.mjs html FILE: what the npm package mjml makes of a template.
// node npm.mjs picture ONE OTHER: how many pixels of two pictures differ.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

// The packages lie in the working directory.
const require = createRequire(path.join(process.cwd(), "package.json"));
const [, , what, one, other] = process.argv;

if (what === "html") {
  const { html } = await require("mjml")(fs.readFileSync(one, "utf8"), { validationLevel: "strict" });
  process.stdout.write(html);
} else {
  const { PNG } = require("pngjs");
  const [a, b] = [one, other].map((file) => PNG.sync.read(fs.readFileSync(file)));
  console.log(require("pixelmatch")(a.data, b.data, null, a.width, a.height, { threshold: 0.1 }));
}
