// `GET /pool`: the pool as a picture. Counts are pages where nothing else is said.

import BerthCore
import BerthEngine
import BerthMemory

extension EngineStatus {
    var poolJSON: JSON {
        let classes = JSON(members: self.classes.map { ($0.name, JSON($0.pages)) })
        let waste = JSON(members: self.classes.map { ($0.name, JSON($0.wasteBytes)) })
        let rows = JSON(members: picture.classes.map { row in
            let pages: JSON = [
                "pages": JSON(row.pages), "in_use": JSON(row.inUse), "pinned": JSON(row.pinned), "loading": JSON(row.loading), "cached": JSON(row.cached),
            ]
            return (row.use.name, pages)
        })
        let evictions = picture.evictions.map { eviction, count in (eviction.use.name, eviction.cause.name, count) }.sorted { $0 < $1 }
        let hits: JSON = [
            "prefix": ["queries": JSON(prefixQueries), "hits": JSON(prefixHits)],
            "adapter": ["queries": JSON(picture.adapters.queries), "hits": JSON(picture.adapters.hits)],
            "expert": ["queries": JSON(experts?.uses ?? 0), "hits": JSON(experts?.account.hits ?? 0)],
        ]
        return [
            "prefix_cache": ["queried_tokens": JSON(prefixQueries), "found_tokens": JSON(prefixHits), "evictions": JSON(prefixEvictions)],
            "page_bytes": JSON(pageBytes), "pages": JSON(pages), "free": JSON(freePages), "cached": JSON(cachedPages), "classes": classes, "waste_bytes": waste,
            "capacity": JSON(picture.capacity), "withheld": JSON(picture.withheld), "touched": JSON(picture.touched), "by_class": rows, "hits": hits,
            "evictions": .array(evictions.map { ["class": .string($0), "cause": .string($1), "count": JSON($2)] }),
            "holders": .array(picture.holders.map(\.json)),
            "tenants": .array(picture.tenants.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ["name": .string($0.key.text), "pages": JSON($0.value)] }),
        ]
    }
}

extension PoolPicture.Holder {
    fileprivate var json: JSON {
        [
            "kind": .string(kind.rawValue), "name": .string(name), "state": .string(state.rawValue), "pages": JSON(pages),
            "adapter": adapter.map { .string($0.text) } ?? nil, "tenant": tenant.map { .string($0.text) } ?? nil,
        ]
    }
}

extension PageClass {
    /// As in metrics and answers.
    var name: String {
        switch self {
        case .kv: "kv"
        case .adapter: "adapter"
        case .expert: "expert"
        case .activation: "activation"
        }
    }
}

extension EvictionCause {
    /// The class that needed the room, or "limit", "pressure".
    var name: String {
        switch self {
        case .room(let use): use.name
        case .limit: "limit"
        case .pressure: "pressure"
        }
    }
}
