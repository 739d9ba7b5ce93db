#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0 OR MIT
// The npm package `solc` (the compiler as WebAssembly) behind the command line of a native solc, as far as
// foundry-compilers and forge use it: `--version`, and `--standard-json` with a base path and include paths.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.join(__dirname, "..");
const EX_USAGE = 64;
const EX_UNAVAILABLE = 69;

function fail(code, message) {
  process.stderr.write(`solc.cjs: ${message}\n`);
  process.exit(code);
}

/** The compiler's directory: the one that package.json pins. */
function compilerDirectory() {
  const directory = path.join(ROOT, "node_modules", "solc");
  if (!fs.existsSync(path.join(directory, "soljson.js"))) {
    fail(EX_UNAVAILABLE, `${directory} is missing; run \`npm ci\` in ${ROOT}`);
  }
  return directory;
}

/** Options that take a value, and those that stand alone. Everything else is refused rather than misread. */
function parseArguments(argv) {
  const options = { version: false, standardJson: false, roots: [], input: null };
  for (let i = 0; i < argv.length; i++) {
    switch (argv[i]) {
      case "--version":
      case "-V":
        options.version = true;
        break;
      case "--standard-json":
        options.standardJson = true;
        break;
      case "--base-path":
      case "--include-path":
        options.roots.push(argv[++i]);
        break;
      case "--allow-paths":
        i++;
        break;
      case "-":
        break;
      default:
        if (argv[i].startsWith("-")) fail(EX_USAGE, `unknown option ${argv[i]}`);
        options.input = argv[i];
    }
  }
  return options;
}

/** Answers an import that the input does not carry, looking through the given roots in order. */
function importResolver(roots) {
  return (name) => {
    for (const root of roots) {
      const file = path.resolve(root, name);
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `${name} is in none of ${roots.join(", ")}` };
  };
}

/** Writes all of `text` to stdout before the process ends, also when stdout is a pipe that is full for the moment. */
function writeAll(text) {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += fs.writeSync(1, bytes, offset);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

/** The version as native solc prints it, without starting the WebAssembly. */
function printVersion(directory) {
  const { version } = JSON.parse(fs.readFileSync(path.join(directory, "package.json"), "utf8"));
  writeAll(`solc, the solidity compiler commandline interface\nVersion: ${version}+emscripten\n`);
}

function compile(directory, options) {
  const wrapper = require(path.join(directory, "wrapper"));
  const solc = wrapper(require(path.join(directory, "soljson.js")));
  const input = fs.readFileSync(options.input === null ? 0 : options.input, "utf8");
  const roots = options.roots.length > 0 ? options.roots : [process.cwd()];
  writeAll(solc.compile(input, { import: importResolver(roots) }));
}

const options = parseArguments(process.argv.slice(2));
const directory = compilerDirectory();
if (options.version) {
  printVersion(directory);
} else if (options.standardJson) {
  compile(directory, options);
} else {
  fail(EX_USAGE, "only --version and --standard-json are understood");
}
process.exit(0);
