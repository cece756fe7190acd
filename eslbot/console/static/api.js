// What the page asks the console for.

let csrf = "";

async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    location.reload(); // the session is over: the server leads to where a new one begins
    return new Promise(() => {});
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({ error: `${answer.status}` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

export const get = (path) => ask(path);

export const send = (method, path, body) =>
  ask(path, {
    method,
    headers: { "X-CSRF-Token": csrf, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });

export async function session() {
  const found = await get("/api/session");
  csrf = found.csrf;
  return found;
}

/** get(path) now and each everyMs while the page is seen; returns what ends it. */
export function poll(path, everyMs, onTold, onError) {
  let timer = 0;
  let ended = false;
  const step = async () => {
    if (!document.hidden) {
      try {
        const told = await get(path);
        if (!ended) onTold(told);
      } catch (error) {
        if (!ended) onError(error);
      }
    }
    if (!ended) timer = setTimeout(step, everyMs);
  };
  step();
  return () => { ended = true; clearTimeout(timer); };
}
