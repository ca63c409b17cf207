// The issuer: oidc-provider with signing keys that change, and tokens of users made without a browser.

import { generateKeyPair, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

import { Provider } from 'oidc-provider';

import { configured, resourceServer } from './configuration.mjs';
import { memory } from './memory.mjs';

const generate = promisify(generateKeyPair);

export class Issuer {
  claims = {}; // what extraTokenClaims adds to tokens of any format

  #url;

  #configuration;

  #keys = [];

  #provider;

  #serve;

  #adapter = memory(); // outlives rotations

  constructor(url, configuration) {
    this.#url = url;
    this.#configuration = configuration;
  }

  serve(request, response) {
    this.#serve(request, response);
  }

  endpoints() {
    const at = (name) => this.#provider.urlFor(name);
    return {
      issuer: this.#url,
      jwks_uri: at('jwks'),
      token_endpoint: at('token'),
      introspection_endpoint: at('introspection'),
      revocation_endpoint: at('revocation'),
    };
  }

  /** New signing keys, as a restart with other keys would bring: all else is kept. Returns their kids. */
  async rotate({ keep_old: keepOld }) {
    const fresh = await newKeys();
    this.#keys = keepOld ? [...fresh, ...this.#keys] : fresh; // the first that fits signs
    this.#provider = new Provider(this.#url, {
      ...configured(this.#configuration, () => this.claims),
      adapter: this.#adapter,
      jwks: { keys: this.#keys },
    });
    this.#provider.on('server_error', (_, error) => console.error(error));
    this.#serve = this.#provider.callback();
    return fresh.map(({ kid }) => kid);
  }

  /** A token of a user, as the authorization code flow would end in: AccessToken, RefreshToken or IdToken. */
  async issue({
    kind, client_id: clientId, subject, scope, resource, claims = {}, bound_to: boundTo = {},
  }) {
    const provider = this.#provider;
    const client = await provider.Client.find(clientId);
    if (kind === 'IdToken') {
      const token = new provider.IdToken({ sub: subject }, { client, ctx: undefined });
      token.scope = 'openid';
      for (const [name, value] of Object.entries(claims)) token.set(name, value);
      return token.issue({ use: 'idtoken' });
    }
    const grantId = await new provider.Grant({ clientId, accountId: subject }).save();
    const token = new provider[kind]({
      client, accountId: subject, grantId, scope, gty: 'authorization_code', ...boundTo,
    });
    if (resource && kind === 'AccessToken') {
      const { scopes, token_lifetime: lifetime } = this.#configuration;
      token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource, scopes, lifetime));
    }
    return token.save();
  }
}

// RSA and Ed25519 keys have no `alg`: each serves two algorithms under one kid.
async function newKeys() {
  const pairs = await Promise.all([
    generate('rsa', { modulusLength: 2048 }),
    generate('ec', { namedCurve: 'P-256' }),
    generate('ed25519'),
  ]);
  return pairs.map(({ privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid: randomUUID() }));
}
