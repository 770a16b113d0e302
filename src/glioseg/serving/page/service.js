// Client of the service: uploads with progress, polls the state of a request, sends the token.

/** An error of the service with a message; `field`: the role of the file with the error, if any. */
export class ServiceError extends Error {
  constructor(status, { code = "", field = null, rule = null, message = "" } = {}, retryAfter = null) {
    super(message || WORDS[status] || `The service returned status ${status}.`);
    Object.assign(this, { status, code, field, rule, retryAfter });
  }
}

const WORDS = {
  0: "The service cannot be reached.",
  401: "The service requires its token.",
  413: "The files are larger than the service accepts.",
  503: "The service is busy.",
  504: "The request timed out.",
};

export class Service {
  #token = "";
  #ask;

  /** `ask(again)` returns a token, or null if the user has none. */
  constructor(ask) {
    this.#ask = ask;
  }

  /** The model in use. */
  async ready() {
    const response = await fetch("readyz").catch(() => refuse(0));
    const body = await response.json().catch(() => ({}));
    if (!response.ok) refuse(response.status, body.error ?? { message: body.message ?? "No model is loaded yet." });
    return body;
  }

  /** The files of the built-in case, one for each role. */
  sample(roles) {
    return this.#admitted(() => Promise.all(roles.map((role) => this.#sampleFile(role))));
  }

  /** Segment a case; `tell` receives {sent, total}, then {state, ahead, seconds}. */
  segment(form, { tell, signal }) {
    return this.#admitted(() => this.#post(form, tell, signal));
  }

  async #sampleFile(role) {
    const response = await fetch(`sample/${role}.nii.gz`, { headers: this.#headers }).catch(() => refuse(0));
    if (!response.ok) refuse(response.status, (await response.json().catch(() => ({}))).error);
    return new File([await response.blob()], `sample_${role}.nii.gz`);
  }

  get #headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  /** Run it; if the service requires a token, ask the user and run it again. */
  async #admitted(run) {
    for (let again = false; ; again = true) {
      try {
        return await run();
      } catch (error) {
        if (error.status !== 401) throw error;
        const token = await this.#ask(again);
        if (token === null) throw error;
        this.#token = token;
      }
    }
  }

  // XMLHttpRequest, since fetch tells nothing about an upload.
  #post(form, tell, signal) {
    const id = crypto.getRandomValues(new Uint8Array(16)).reduce((hex, b) => hex + b.toString(16).padStart(2, "0"), "");
    const request = new XMLHttpRequest();
    request.open("POST", "segment");
    request.responseType = "json";
    const headers = { Accept: "application/json", "X-Request-ID": id, ...this.#headers };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => tell({ sent: loaded, total });
    const ended = new AbortController();
    request.upload.onload = () => this.#watch(id, tell, ended.signal);
    return new Promise((good, bad) => {
      request.onerror = () => bad(new ServiceError(0));
      request.onabort = () => bad(new DOMException("Cancelled.", "AbortError"));
      request.onload = () => (request.status === 200 ? good(request.response) : bad(failure(request)));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    }).finally(() => ended.abort());
  }

  /** Tell each second where the request is, as far as the service says, until `ended`. */
  #watch(id, tell, ended) {
    const began = performance.now();
    const look = async () => {
      const seconds = Math.round((performance.now() - began) / 1000);
      const options = { headers: this.#headers, signal: ended };
      const state = await fetch(`requests/${id}`, options).then((r) => (r.ok ? r.json() : {})).catch(() => ({}));
      if (!ended.aborted) tell({ seconds, ...state });
    };
    look();
    const timer = setInterval(look, 1000);
    ended.addEventListener("abort", () => clearInterval(timer));
  }
}

function failure(request) {
  return new ServiceError(request.status, request.response?.error, request.getResponseHeader("Retry-After"));
}

function refuse(status, error) {
  throw new ServiceError(status, error);
}
