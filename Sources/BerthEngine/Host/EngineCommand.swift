// What administrators ask of a running engine.

import BerthCore
import BerthMemory

public enum EngineCommand: Sendable {
    /// Registers or replaces an adapter that has been validated. → `.done`
    case register(AdapterName, AdapterSource)
    /// Keeps a name whose requests are refused with the reason. → `.done`
    case reject(AdapterName, reason: String)
    /// → `.done`
    case unregister(AdapterName)
    /// → `.done`
    case pin(AdapterName, Bool)
    /// What tenants may have, all of them. → `.done`
    case setTenants([TenantName: TenantPolicy])
    /// → `.tenants`
    case tenants
    /// How large the pool may be. → `.done`
    case setLimit(PoolLimit)
    /// How short of memory the machine is. → `.pool`
    case withhold(parts: Int, of: Int)
    /// → `.adapters`
    case listAdapters
    /// → `.requests`
    case listRequests
    /// → `.pool`
    case pool
    /// → `.picture`
    case picture
    /// → `.experts`
    case experts
    /// → `.waves`
    case waves
    /// → `.counters`
    case counters
    /// The most tokens one request may have, prompt and output, by itself. → `.tokens`
    case capacity(AdapterName?)
}

public enum EngineReply: Sendable {
    case done
    case failed(GenerationFailure)
    /// In the order of their names: everybody who has asked for something and is remembered.
    case tenants([TenantStatus])
    case adapters([AdapterStatus])
    case requests([RequestStatus])
    case pool(PoolSnapshot)
    case picture(PoolPicture)
    /// Nil where all experts are in memory.
    case experts(ExpertStatus?)
    case waves(WaveStatus)
    case counters(EngineCounters)
    case tokens(Int)
}

extension Engine {
    public func perform(_ command: EngineCommand) -> EngineReply {
        do throws(GenerationFailure) {
            switch command {
            case .register(let name, let source): try registerAdapter(name, source)
            case .reject(let name, let reason): rejectAdapter(name, reason: reason)
            case .unregister(let name): try unregisterAdapter(name)
            case .pin(let name, let isPinned): try setPinned(name, isPinned)
            case .setTenants(let policies): setTenants(policies)
            case .tenants: return .tenants(tenantStatuses)
            case .setLimit(let limit): try setLimit(limit)
            case .withhold(let parts, let whole):
                withhold(parts: parts, of: whole)
                return .pool(poolSnapshot)
            case .listAdapters: return .adapters(adapters)
            case .listRequests: return .requests(requests)
            case .pool: return .pool(poolSnapshot)
            case .picture: return .picture(poolPicture)
            case .experts: return .experts(experts?.status)
            case .waves: return .waves(waveStatus)
            case .counters: return .counters(counterSnapshot)
            case .capacity(let name): return .tokens(capacityTokens(adapter: name))
            }
            return .done
        } catch {
            return .failed(error)
        }
    }
}
