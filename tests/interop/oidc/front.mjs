// What stands before the provider: it counts requests by path, and fails in place of the provider when told to.

import { setTimeout } from 'node:timers/promises';

export class Front {
  #path;

  #serve;

  #counts = new Map();

  #faults = new Map(); // by path

  #waiting = new Set();

  /**
   * @param path where the provider is mounted, such as "/tenant/one"; "" for the root
   * @param serve the provider: (request, response) => void
   */
  constructor(path, serve) {
    this.#path = path;
    this.#serve = serve;
  }

  async serve(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost');
    this.#count(pathname);
    const fault = this.#faults.get(pathname);
    if (fault && await this.#failed(fault, request, response)) return;
    if (!this.#mount(request, pathname)) {
      response.writeHead(404).end();
      return;
    }
    this.#serve(request, response);
  }

  counts() {
    return Object.fromEntries(this.#counts);
  }

  forget() {
    this.#counts.clear();
  }

  /** Resolves when a path has been asked for so many times. */
  reached(path, count) {
    return new Promise((resolve) => {
      const look = () => {
        if ((this.#counts.get(path) ?? 0) < count) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /**
   * Fail on a path from now on: wait (`delay` seconds, or with `hang` until it recovers), then reset the connection
   * (`reset`), or answer with `status`, `headers` and `body`, or without a status as the provider would.
   */
  fail({ path, ...fault }) {
    this.#faults.get(path)?.end();
    fault.over = new Promise((resolve) => { fault.end = resolve; });
    this.#faults.set(path, fault);
  }

  recover() {
    for (const fault of this.#faults.values()) fault.end();
    this.#faults.clear();
  }

  #count(path) {
    this.#counts.set(path, (this.#counts.get(path) ?? 0) + 1);
    for (const look of this.#waiting) look();
  }

  async #failed(fault, request, response) {
    if (fault.hang) await fault.over;
    if (fault.delay) await Promise.race([fault.over, setTimeout(fault.delay * 1000)]);
    if (fault.reset) {
      request.socket.resetAndDestroy();
      return true;
    }
    if (!fault.status) return false;
    response.writeHead(fault.status, fault.headers).end(fault.body);
    return true;
  }

  // As express mounts: the provider sees the path below its own, and the whole in `originalUrl`.
  #mount(request, pathname) {
    if (!pathname.startsWith(`${this.#path}/`)) return false;
    request.originalUrl = request.url;
    request.url = request.url.slice(this.#path.length);
    return true;
  }
}
