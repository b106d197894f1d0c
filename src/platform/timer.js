// Waiting, and not waiting for ever.

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What a promise comes to, or after so many milliseconds what `late` answers or throws. */
export async function within(ms, promise, late) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    return await Promise.race([promise, over.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** What `late` throws where nothing else is known. */
export function timeout(message) {
  return () => {
    throw new DOMException(message, "TimeoutError");
  };
}
