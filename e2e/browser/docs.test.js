// The documentation as a reader meets it: a real server, a real browser.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { startServer } from "./server.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.TALLYGATE_SCREENSHOTS || mkdtempSync(join(tmpdir(), "tallygate-screenshots-"));
const wide = { width: 1440, height: 900 };
const narrow = { width: 375, height: 812 };

let server, browser, addresses;

before(async () => {
  server = await startServer();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const list = await (await fetch(server.url + "/llms.txt")).text();
  addresses = ["/docs", ...[...list.matchAll(/\]\(([^)]+)\.md\)/g)].map((m) => m[1])];
  assert.ok(addresses.length > 30, `llms.txt lists only ${addresses.length} pages`);
  console.log(`screenshots: ${shots}`);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

// reader is a page that notes whatever a reader should never meet.
async function reader(options = {}) {
  const context = await browser.newContext({ viewport: wide, colorScheme: "light", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && faults.push(`console: ${message.text()} at ${page.url()}`));
  page.on("pageerror", (error) => faults.push(`script: ${error.stack} at ${page.url()}`));
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") faults.push(`failed: ${request.url()} ${why}`); // that one was on its way when the reader left
  });
  page.on("request", (request) => request.url().startsWith(server.url + "/") || faults.push(`another host: ${request.url()}`));
  page.on("response", (response) => response.status() >= 400 && faults.push(`${response.status()}: ${response.url()}`));
  return {
    context,
    page,
    faults,
    open: (path) => page.goto(server.url + path, { waitUntil: "domcontentloaded" }), // scripts have run by then
    async done() {
      await context.close();
      assert.deepEqual(faults, []);
    },
  };
}

test("no page scrolls sideways, on a telephone or on a desk", async () => {
  const r = await reader();
  const sizes = [wide, narrow];
  for (const path of addresses) {
    await r.open(path);
    assert.equal(await r.page.locator("h1").count(), 1, path);
    for (const viewport of sizes.reverse()) { // the last one's second is this one's first
      await r.page.setViewportSize(viewport);
      const over = await r.page.evaluate(() => {
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return null;
        const wide = [...document.querySelectorAll("main *")].find((e) => e.getBoundingClientRect().right > width + 1);
        return wide ? wide.outerHTML.slice(0, 120) : "something";
      });
      assert.equal(over, null, `${path} at ${viewport.width}`);
    }
  }
  await r.done();
});

test("the search finds a page and opens it, by keyboard alone", async () => {
  const r = await reader();
  const loaded = [];
  r.page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
  await r.open("/docs");
  assert.ok(!loaded.includes("/docs/search.json"), "the index is loaded before anybody searches");
  await r.page.keyboard.press("/");
  await r.page.keyboard.type("insufficient bal");
  const first = r.page.locator("#found [aria-selected=true]");
  await first.locator("mark").first().waitFor();
  assert.match(await first.textContent(), /INSUFFICIENT_BALANCE/);
  await r.page.screenshot({ path: join(shots, "search.png") });
  const count = await r.page.locator("#found li").count();
  assert.ok(count > 1);
  await r.page.keyboard.press("ArrowDown");
  assert.equal(await r.page.locator("#found li").nth(1).getAttribute("aria-selected"), "true");
  await r.page.keyboard.press("ArrowUp");
  assert.equal(await r.page.locator("dialog.search input").getAttribute("aria-activedescendant"), "found-0");
  await r.page.keyboard.press("Enter");
  await r.page.waitForURL("**/docs/errors/INSUFFICIENT_BALANCE");

  await r.page.keyboard.press("Control+k");
  await r.page.locator("dialog.search input").fill("zzzzz");
  await r.page.getByText("Nothing was found.").waitFor();
  await r.page.keyboard.press("Escape");
  await r.page.locator("dialog.search").waitFor({ state: "hidden" });
  await r.done();
});

test("the search finds every code's page and a section's words", async () => {
  const r = await reader();
  await r.open("/docs");
  await r.page.locator(".search-open").click();
  for (const path of addresses.filter((a) => a.startsWith("/docs/errors/"))) {
    await r.page.locator("dialog.search input").fill(path.split("/").at(-1));
    await r.page.locator(`#found li:first-child a[href="${path}"]`).waitFor();
  }
  await r.page.locator("dialog.search input").fill("which refusal comes first");
  const section = r.page.locator("#found li:first-child a");
  await r.page.locator(`#found li:first-child a[href="/docs/errors#which-refusal-comes-first"]`).waitFor();
  await section.click();
  await r.page.waitForURL("**/docs/errors#which-refusal-comes-first");
  await r.done();
});

test("a code's page says what the code means and leads back", async () => {
  const r = await reader();
  await r.open("/docs/errors");
  await r.page.locator("article table").getByRole("link", { name: "RATE_LIMIT_EXCEEDED" }).click();
  await r.page.waitForURL("**/docs/errors/RATE_LIMIT_EXCEEDED");
  const facts = await r.page.locator(".facts").innerText();
  for (const part of ["429", "yes", "Rate limit exceeded", "Wait and retry with exponential backoff"]) assert.ok(facts.includes(part), facts);
  assert.equal(await r.page.locator(".pages [aria-current=page]").innerText(), "RATE_LIMIT_EXCEEDED");
  await r.page.locator(".step .next").click();
  await r.page.waitForURL("**/docs/errors/INTERNAL_ERROR");
  await r.page.locator(".step .prev").click();
  await r.page.waitForURL("**/docs/errors/RATE_LIMIT_EXCEEDED");
  await r.done();
});

test("the Link header of an error leads to a page that opens without a key", async () => {
  const refused = await fetch(server.url + "/v1/jobs");
  const link = refused.headers.get("link").match(/^<(.*)>; rel="help"$/)[1];
  const r = await reader();
  await r.open(link);
  assert.equal(await r.page.locator("h1").innerText(), "AUTHENTICATION_FAILED");
  await r.done();
});

test("a block of code is copied as it stands", async () => {
  const r = await reader();
  await r.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await r.open("/docs/jobs");
  const block = r.page.locator("figure.code").first();
  await block.hover();
  await block.locator(".copy").click();
  await block.getByText("Copied").waitFor();
  const copied = await r.page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied.trimEnd(), (await block.locator("code").textContent()).trimEnd());
  const source = await (await fetch(server.url + "/docs/jobs.md")).text();
  assert.ok(source.includes(copied), copied);
  await r.done();
});

test("the reference is found by a route, explains it and leads to its errors", async () => {
  const r = await reader();
  await r.open("/docs");
  await r.page.keyboard.press("/");
  await r.page.locator("dialog.search input").fill("submitJobBatch");
  await r.page.locator("#found li:first-child mark").first().waitFor();
  await r.page.keyboard.press("Enter");
  await r.page.waitForURL("**/docs/api/jobs#submit-many-jobs");
  const route = r.page.locator("section.operation", { has: r.page.locator("#submit-many-jobs") });
  assert.match(await route.locator(".route").innerText(), /POST\s+\/v1\/jobs\/batch/);
  assert.match(await route.locator(".needs").innerText(), /jobs:write.*10 requests/);
  const members = route.locator("details", { hasText: "max_cost" }).first();
  assert.ok(!(await members.getByText("max_cost").isVisible()));
  await members.locator("summary").first().click();
  assert.ok(await members.getByText("max_cost").isVisible());
  await route.getByRole("link", { name: "INSUFFICIENT_BALANCE" }).click();
  await r.page.waitForURL("**/docs/errors/INSUFFICIENT_BALANCE");
  await r.done();
});

test("the language of samples is the reader's choice, in all of them, and is kept", async () => {
  const r = await reader();
  await r.open("/docs/api/jobs");
  const panels = (name) => r.page.locator(`.panel[data-tab="${name}"]:visible`).count();
  const routes = await r.page.locator("section.operation").count();
  assert.equal(await panels("curl"), routes);
  const list = r.page.locator("[role=tablist]").first();
  await list.getByRole("tab", { name: "Python" }).click();
  assert.deepEqual([await panels("python"), await panels("curl")], [routes, 0]);
  assert.equal(await list.getByRole("tab", { name: "Python" }).getAttribute("aria-selected"), "true");
  await r.page.keyboard.press("ArrowRight");
  assert.equal(await panels("typescript"), routes);
  assert.equal(await list.getByRole("tab", { name: "TypeScript" }).evaluate((tab) => tab === document.activeElement), true);
  await r.open("/docs/api/clients");
  assert.equal(await panels("typescript"), await r.page.locator("section.operation").count());
  await r.done();
});

test("dark mode is the reader's choice, and is kept", async () => {
  const r = await reader();
  await r.open("/docs");
  const ground = () => r.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  const button = r.page.locator("button.theme");
  assert.equal(await button.getAttribute("aria-pressed"), "false");
  await button.click();
  const dark = await ground();
  assert.notEqual(dark, light);
  await r.open("/docs/errors");
  assert.equal(await ground(), dark);
  assert.equal(await button.getAttribute("aria-pressed"), "true");
  await button.click();
  assert.equal(await ground(), light);
  await r.done();

  const owl = await reader({ colorScheme: "dark" });
  await owl.open("/docs");
  assert.equal(await owl.page.evaluate(() => getComputedStyle(document.body).backgroundColor), dark);
  await owl.page.locator("button.theme").click();
  await owl.open("/docs/jobs");
  assert.equal(await owl.page.evaluate(() => getComputedStyle(document.body).backgroundColor), light);
  await owl.done();
});

test("on a telephone the menu opens, leads on and closes", async () => {
  const r = await reader({ viewport: narrow, hasTouch: true, isMobile: true });
  await r.open("/docs/jobs");
  const nav = r.page.locator("nav.pages");
  await nav.waitFor({ state: "hidden" });
  await r.page.locator(".menu").tap();
  await nav.waitFor({ state: "visible" });
  await r.page.screenshot({ path: join(shots, "menu-375.png") });
  await r.page.locator("nav.pages .close").tap();
  await nav.waitFor({ state: "hidden" });
  await r.page.locator(".menu").tap();
  await nav.locator('a[href="/docs/keys"]').tap();
  await r.page.waitForURL("**/docs/keys");
  await nav.waitFor({ state: "hidden" });
  await r.done();
});

test("without scripts everything can be read", async () => {
  const r = await reader({ javaScriptEnabled: false });
  await r.open("/docs/jobs");
  assert.ok(await r.page.locator("article pre").first().isVisible());
  assert.ok(!(await r.page.locator(".copy").first().isVisible()));
  assert.ok(!(await r.page.locator("button.theme").isVisible()));
  await r.open("/docs/api/audit");
  for (const name of ["curl", "go", "python", "typescript"]) assert.ok(await r.page.locator(`.panel[data-tab="${name}"]`).isVisible(), name);
  assert.ok(!(await r.page.locator("[role=tablist]").isVisible()));
  await r.open("/docs/jobs");
  await r.page.locator('nav.pages a[href="/docs/keys"]').click();
  await r.page.waitForURL("**/docs/keys");
  await r.done();
});

test("an address without a page is told as such", async () => {
  const r = await reader();
  assert.equal((await r.open("/docs/nothing")).status(), 404);
  assert.match(await r.page.locator("h1").innerText(), /No page/);
  r.faults.splice(0, r.faults.length, ...r.faults.filter((f) => !f.includes("404"))); // the one that was asked for
  await r.done();
});

test("pages pass the rules of WCAG 2.2 AA that a program can check, light and dark", async () => {
  const some = ["/docs", "/docs/jobs", "/docs/errors", "/docs/errors/INVALID_PARAMETER", "/docs/api", "/docs/api/job-types"];
  for (const colorScheme of ["light", "dark"]) {
    const r = await reader({ colorScheme, bypassCSP: true }); // the checker is put into the page
    for (const path of some) {
      await r.open(path);
      await r.page.evaluate(axe);
      const rules = colorScheme === "light" ? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] : ["color-contrast"]; // all that differs
      const found = await r.page.evaluate((runOnly) => globalThis.axe.run({ runOnly }), rules);
      const faults = found.violations.map((v) => `${path}, ${colorScheme}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 150)).join(" | ")}`);
      assert.deepEqual(faults, []);
      assert.ok(found.passes.length >= (colorScheme === "light" ? 20 : 1));
    }
    await r.done();
  }
});

test("pictures are taken, to be looked at", async () => {
  const views = { desk: { viewport: wide }, dark: { viewport: wide, colorScheme: "dark" }, 375: { viewport: narrow }, "375-dark": { viewport: narrow, colorScheme: "dark" } };
  const pages = { home: "/docs", guide: "/docs/jobs", errors: "/docs/errors", code: "/docs/errors/RATE_LIMIT_EXCEEDED", reference: "/docs/api/job-types" };
  for (const [view, options] of Object.entries(views)) {
    const r = await reader(options);
    for (const [name, path] of Object.entries(pages)) {
      await r.open(path);
      const picture = await r.page.screenshot({ path: join(shots, `${name}-${view}.png`), fullPage: true });
      assert.ok(picture.length > 5000);
    }
    await r.done();
  }
});
