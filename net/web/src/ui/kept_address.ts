// The part of the page's address behind the #, read and kept up to date: a reloaded or shared address shows the same again.

import { read_view_link, says_something, type view_link, write_view_link } from "./view_link";

const write_every_ms = 400;

export class kept_address {
  private written_ = "";
  private written_at_ms_ = -Infinity;

  /// What stands in the address, if it is not what was written here.
  read(): view_link | undefined {
    const hash = location.hash.replace(/^#/, "");
    return hash === "" || hash === this.written_ ? undefined : read_view_link(hash);
  }

  /// Keeps the address in line, without an entry in the browser's history. Nothing is written before there is anything to keep.
  write(s: view_link): void {
    const now = performance.now();
    if (now - this.written_at_ms_ < write_every_ms) return;
    const text = says_something(s) || this.written_ ? write_view_link(s) : "";
    if (text === this.written_ || text === location.hash.replace(/^#/, "")) return;
    this.written_ = text;
    this.written_at_ms_ = now;
    history.replaceState(history.state, "", `#${text}`);
  }
}

/// The page's address for others: with a view, without the token, which everybody is given by himself.
export function shared_address(page: URL, view: string): string {
  const out = new URL(page);
  out.searchParams.delete("token");
  out.hash = view;
  return out.href;
}
