// How oidc-provider is set up.

import { errors } from 'oidc-provider';

const JWT = 'https://jwt.example/'; // followed by the algorithm
const OPAQUE = 'https://opaque.example';

/** What a token for `resource` is like (RFC 8707): the address of the API picks the format. */
export function resourceServer(resource, scopes, lifetime) {
  const common = { audience: resource, scope: scopes.join(' '), accessTokenTTL: lifetime };
  if (resource === OPAQUE) return { ...common, accessTokenFormat: 'opaque' };
  if (!resource.startsWith(JWT)) throw new errors.InvalidTarget();
  return { ...common, accessTokenFormat: 'jwt', jwt: { sign: { alg: resource.slice(JWT.length) } } };
}

/**
 * The provider's options.
 *
 * @param clients their metadata
 * @param scopes that any client may have
 * @param token_lifetime seconds
 * @param claims returns what extraTokenClaims adds
 */
export function configured({ clients, scopes, token_lifetime: lifetime }, claims) {
  return {
    clients,
    scopes: ['openid', 'offline_access', ...scopes],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    cookies: { keys: ['of no importance: there are no browsers here'] },
    ttl: {
      AccessToken: lifetime, ClientCredentials: lifetime, Grant: 86400, IdToken: lifetime, RefreshToken: 86400,
    },
    extraTokenClaims: () => claims(),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => resourceServer(resource, scopes, lifetime),
      },
    },
  };
}
