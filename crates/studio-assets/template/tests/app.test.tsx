import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { App } from "../src/App";

test("the page has a title", () => {
  expect(renderToStaticMarkup(<App />)).toContain("<h1>");
});
