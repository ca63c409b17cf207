// Storage in a Map. The one that comes with oidc-provider forgets all but the last 1,000 entries.

/** An adapter factory, as oidc-provider wants it. Nothing is ever dropped: what expired, the provider finds out. */
export function memory() {
  const entries = new Map(); // "model:id" -> payload

  return (model) => {
    const key = (id) => `${model}:${id}`;
    const first = (matches) => {
      for (const [name, payload] of entries) {
        if (name.startsWith(`${model}:`) && matches(payload)) return payload;
      }
      return undefined;
    };
    return {
      async upsert(id, payload) { entries.set(key(id), payload); },
      async find(id) { return entries.get(key(id)); },
      async findByUid(uid) { return first((payload) => payload.uid === uid); },
      async findByUserCode(code) { return first((payload) => payload.userCode === code); },
      async consume(id) { entries.get(key(id)).consumed = Math.floor(Date.now() / 1000); },
      async destroy(id) { entries.delete(key(id)); },
      async revokeByGrantId(grantId) {
        for (const [name, payload] of entries) {
          if (payload.grantId === grantId) entries.delete(name);
        }
      },
    };
  };
}
