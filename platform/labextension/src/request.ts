/**
 * How the extension asks its server side: one address space, one shape of errors.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** What the server side answers when it refuses, as a sentence for people. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    /** The server did not answer at all: it is down, or the network is. */
    readonly unreachable = false
  ) {
    super(message);
    this.name = 'RequestError';
  }
}

interface IRefusal {
  error?: { code?: string; message?: string };
}

/** Return the address of a route of the server side. */
export function addressOf(route: string, settings: ServerConnection.ISettings): string {
  return URLExt.join(settings.baseUrl, 'rasen', route);
}

/**
 * Ask a route of the server side and return its JSON.
 *
 * @throws RequestError with the server's own sentence, or with `unreachable` set.
 */
export async function request<T>(
  settings: ServerConnection.ISettings,
  route: string,
  body?: unknown,
  options: { method?: string; signal?: AbortSignal } = {}
): Promise<T> {
  const init: RequestInit = { method: options.method ?? (body === undefined ? 'GET' : 'POST') };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  if (options.signal) {
    init.signal = options.signal;
  }
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(addressOf(route, settings), init, settings);
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    throw new RequestError(String(error), 0, 'unreachable', true);
  }
  const text = await response.text();
  let data: unknown;
  try {
    data = text ? JSON.parse(text) : null;
  } catch {
    data = null; // a proxy's page, say
  }
  if (!response.ok) {
    const refusal = (data as IRefusal | null)?.error;
    throw new RequestError(
      refusal?.message ?? `${response.status} ${response.statusText}`,
      response.status,
      refusal?.code ?? 'error',
      [502, 503, 504].includes(response.status)
    );
  }
  return data as T;
}
