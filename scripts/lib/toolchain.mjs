// What building the edge needs beyond an ordinary Rust: a standard library for wasm32, and wasm-bindgen
// in exactly the version Cargo.lock names. Decides which way applies to this machine, so that the same
// command works with rustup online and where only package registries are reached.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { aptInstall, ask, CACHE, Complaint, ROOT, run, say, step } from "./run.mjs";

/** What the edge is compiled for. */
export const TARGET = "wasm32-unknown-unknown";

/** Debian's second Rust, packaged with the sources of std: the way for machines that rustup cannot serve. */
const DEBIAN = { packages: ["rustc-web", "rust-web-src", "lld-22"], rustc: "/usr/bin/rustc", linker: "wasm-ld-22" };

/** Whether rustc itself can compile for wasm32, and if not, the variables that make Debian's do it. */
async function compilerEnvironment() {
  if (hasTarget()) return {};
  if (hasDebian()) return debianEnvironment();
  if (ask("rustup", ["--version"]) !== undefined) {
    say(`adding the Rust target ${TARGET} (rustup) ...`);
    ask("rustup", ["target", "add", TARGET], { timeout: 180_000 });
    if (hasTarget()) return {};
    say("rustup cannot fetch it here; trying the packages of the system instead");
  }
  await aptInstall(DEBIAN.packages, "wasm target");
  if (!hasDebian()) throw new Complaint(`no Rust standard library for ${TARGET}: run 'rustup target add ${TARGET}'`);
  return debianEnvironment();
}

function hasTarget() {
  const folder = ask("rustc", ["--print", "target-libdir", "--target", TARGET]);
  return folder !== undefined && existsSync(folder);
}

function hasDebian() {
  return (
    ask("dpkg-query", ["-W", "-f=${Status}\n", ...DEBIAN.packages])
      ?.split("\n")
      .every((status) => status.startsWith("install ok")) === true
  );
}

function debianEnvironment() {
  return {
    RUSTC: DEBIAN.rustc,
    RUSTC_BOOTSTRAP: "1",
    CARGO_UNSTABLE_BUILD_STD: "std,panic_abort",
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: DEBIAN.linker,
  };
}

/** The version of wasm-bindgen in Cargo.lock: the command line tool must be the same to the digit. */
function lockedWasmBindgen() {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const found = lock.match(/name = "wasm-bindgen"\nversion = "([^"]+)"/);
  if (!found) throw new Complaint("Cargo.lock names no wasm-bindgen");
  return found[1];
}

/** A program installed by cargo into a folder of its own, named by its version; installed when it is not there. */
export async function cargoTool(crate, version, program, { how: as = [] } = {}) {
  const folder = join(CACHE, "tools", `${crate}-${version}`);
  const path = join(folder, "bin", program);
  if (existsSync(path)) return path;
  const install = (...how) =>
    run("cargo", ["install", ...how, ...as, "--quiet", "--root", folder, "--version", version, crate], {
      env: { CARGO_TARGET_DIR: join(CACHE, "tools", "target") },
      quiet: true,
    });
  await step(`installing ${crate} ${version} (once, minutes)`, async () => {
    try {
      await install("--locked");
    } catch (error) {
      // A registry mirror can lag behind the versions that the tool was locked with.
      say(`${crate}: its own lock file cannot be met here, resolving anew`);
      await install().catch((again) => {
        throw new Complaint(`${again.message}\n(with its lock file: ${error.message})`);
      });
    }
  });
  return path;
}

/** The programs that build the edge, and the variables that cargo needs for it. */
export async function edgeToolchain() {
  const env = await compilerEnvironment();
  const wasmBindgen = await cargoTool("wasm-bindgen-cli", lockedWasmBindgen(), "wasm-bindgen");
  const installed = (program) => join(ROOT, "node_modules", ".bin", program);
  return { wasmBindgen, wasmOpt: installed("wasm-opt"), esbuild: installed("esbuild"), env };
}
