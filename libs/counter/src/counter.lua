#!lua name=tenantry_counter_@version@

-- The hot counters. A counter is a hash, one for each tenant, resource and window, and spends what the ledger granted it:
--
--   i  the opening that it is of
--   g  granted, ever more
--   f  spent fast: what was admitted here is used
--   d  spent durably: what was admitted here is used once the ledger has it
--   l:<id>  a lease, `<amount>:<until when, in ms>`: of f it is what one replica admits by itself, and may still give back
--
-- A rate is a hash of its own, one for each tenant and resource whose limit has one: how much of its burst was used up (l), and when
-- that was (t, in us). It drains steadily (ITU-T I.371, Annex A: the continuous-state leaky bucket).
--
-- What is left is g - f - d. A lease is spent before anyone is admitted for it, so whatever becomes of its holder, nothing is
-- admitted twice; a holder that is gone by the time that its lease is noted for has lost what was left of it.
--
-- Each opening has an id of its own, which whoever spends or grants names. So nothing is ever admitted for a counter that isn't there
-- any more, that was opened anew, or that is of data which came back older than it was (a restart from a file, a replica that was
-- behind): whoever comes is told that it is lost. Time is Redis's own: the clocks of its callers decide nothing.

-- A lease takes at most this part of what a limit still has: so others find as good as all of it, however many they are, and leases
-- end by themselves before the limit does.
local PART = 8
-- The fields of a counter without leases, and most leases of one.
local FIELDS = 4
local MOST_LEASES = 256

local known
local openings = 0

-- Which life of the data this is. Made when it is first asked for, and forgotten with this library: by a new process, and by
-- whatever replaces all data of this one (a full synchronisation, a file that is loaded).
local function incarnation()
    if not known then
        local process = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
        local time = redis.call('TIME')
        known = string.sub(redis.sha1hex(process .. ':' .. time[1] .. ':' .. time[2]), 1, 16)
    end
    return known
end

local function now_ms()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A counter's granted, fast and durable amounts, if it is of this opening.
local function read(key, opening)
    local fields = redis.call('HMGET', key, 'i', 'g', 'f', 'd')
    if fields[1] ~= opening or string.sub(opening, 1, 16) ~= incarnation() then
        return nil
    end
    return { tonumber(fields[2]), tonumber(fields[3]), tonumber(fields[4]) }
end

local function is_outside(now, from, till)
    return now < tonumber(from) or (tonumber(till) > 0 and now >= tonumber(till))
end

-- A counter's leases that may still be given back: how many they are, what they come to, and the names of those whose time is over.
local function leases(key, now)
    local number, amount, over = 0, 0, {}
    if redis.call('HLEN', key) > FIELDS then
        local fields = redis.call('HGETALL', key)
        for at = 1, #fields, 2 do
            local of, till = string.match(fields[at + 1], '^(%d+):(%d+)$')
            if of and tonumber(till) > now then
                number, amount = number + 1, amount + tonumber(of)
            elseif of then
                over[#over + 1] = fields[at]
            end
        end
    end
    return number, amount, over
end

local function now_us()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- How much of a rate's burst is used up, where so much is free again in so many us.
local function level(key, now, amount, per)
    local fields = redis.call('HMGET', key, 'l', 't')
    if not fields[1] then
        return 0
    end
    local free = math.max(now - tonumber(fields[2]), 0) * amount / per
    return math.max(tonumber(fields[1]) - free, 0)
end

-- Spends from all counters, or from none.
-- Arguments: 'f' or 'd', and how many counters there are; then of each counter its opening, the amount, and the window's start and end
-- in ms (0 for none); then of each rate, whose keys come behind the counters', what it is asked for, how much is free again in how
-- many us, and its burst.
-- Answers 'spent' or, where one has too little left, 'short', with the counters as they are now; 'lost' with the number of one
-- that isn't of its opening; 'outside' with the time, which isn't in one of the windows; or 'early' with the number of a rate that
-- isn't kept, in how many us it would be (0 for never), and how much it has now.
local function spend(keys, args)
    local how, number, now = args[1], tonumber(args[2]), now_ms()
    local field = how == 'f' and 2 or 3
    -- A counter that comes twice is one: what it is asked for is added up.
    local counters, asked, short = {}, {}, false
    for i = 1, number do
        local key, at = keys[i], 4 * i - 1
        local amount = tonumber(args[at + 1])
        if is_outside(now, args[at + 2], args[at + 3]) then
            return { 'outside', now }
        end
        local name = key .. ' ' .. args[at]
        local counter = counters[name] or read(key, args[at])
        if not counter then
            return { 'lost', i }
        end
        counters[name], counters[i] = counter, counter
        asked[counter] = (asked[counter] or 0) + amount
        short = short or counter[1] - counter[2] - counter[3] < asked[counter]
    end
    if short then
        return { 'short', unpack(counters) }
    end
    local levels, us = {}, #keys > number and now_us()
    for i = number + 1, #keys do
        local at = 4 * i - 1
        local amount, free, per, burst = tonumber(args[at]), tonumber(args[at + 1]), tonumber(args[at + 2]), tonumber(args[at + 3])
        local used = level(keys[i], us, free, per)
        if used + amount > burst then
            local wait = amount > burst and 0 or math.max(math.ceil((used + amount - burst) * per / free), 1)
            return { 'early', i - number, wait, math.max(math.floor(burst - used), 0) }
        end
        levels[i] = used + amount
    end
    for i = number + 1, #keys do
        local at = 4 * i - 1
        redis.call('HSET', keys[i], 'l', levels[i], 't', us)
        -- Once it is empty it is as good as gone.
        redis.call('PEXPIRE', keys[i], math.ceil(levels[i] * tonumber(args[at + 2]) / tonumber(args[at + 1]) / 1000) + 1000)
    end
    for i = 1, number do
        local key, amount = keys[i], args[4 * i]
        redis.call('HINCRBY', key, how, amount)
        counters[i][field] = counters[i][field] + tonumber(amount)
    end
    return { 'spent', unpack(counters) }
end

-- Spends fast, of all counters or of none, for requests that are still to come, and notes it as a lease.
-- Arguments: the lease's id, what is wanted, the least that is worth it, for how many ms it is noted, then of each counter, which
-- comes once, its opening, what its limit has for that, and the window's start and end.
-- Answers 'leased' with the amount, the time, and the counters as they are now; 'scarce' where there isn't the least; or 'lost' or
-- 'outside', as above.
local function lease(keys, args)
    local name, amount, least, now = 'l:' .. args[1], tonumber(args[2]), tonumber(args[3]), now_ms()
    local counters = {}
    for i, key in ipairs(keys) do
        local at = 4 * i + 1
        if is_outside(now, args[at + 2], args[at + 3]) then
            return { 'outside', now }
        end
        local counter = read(key, args[at])
        if not counter then
            return { 'lost', i }
        end
        counters[i] = counter
        local spent = counter[2] + counter[3]
        amount = math.min(amount, counter[1] - spent, math.floor((tonumber(args[at + 1]) - spent) / PART))
        if redis.call('HLEN', key) >= FIELDS + MOST_LEASES then
            local number, _, over = leases(key, now)
            for _, field in ipairs(over) do
                redis.call('HDEL', key, field)
            end
            amount = number < MOST_LEASES and amount or 0
        end
    end
    if amount < math.max(least, 1) then
        return { 'scarce' }
    end
    local noted = string.format('%d:%d', amount, now + tonumber(args[4]))
    for i, key in ipairs(keys) do
        redis.call('HINCRBY', key, 'f', amount)
        redis.call('HSET', key, name, noted)
        counters[i][2] = counters[i][2] + amount
    end
    return { 'leased', amount, now, unpack(counters) }
end

-- Gives back what is left of a lease. It may be sent twice: a lease that was given back isn't noted any more.
-- Arguments: the lease's id, what is left of it, then of each counter its opening. Counters that aren't of their opening are left
-- alone.
local function end_lease(keys, args)
    local name = 'l:' .. args[1]
    for i, key in ipairs(keys) do
        local noted = read(key, args[2 + i]) and redis.call('HGET', key, name)
        if noted then
            local left = math.min(tonumber(args[2]), tonumber(string.match(noted, '^%d+')))
            redis.call('HDEL', key, name)
            -- Nothing, negated, is no number for Redis.
            if left > 0 then
                redis.call('HINCRBY', key, 'f', -left)
            end
        end
    end
    return { 'given_back' }
end

-- Gives back what was spent durably and isn't used after all. Not to be sent twice: it might be another's that is given back then.
-- Arguments: of each counter its opening and the amount. Counters that aren't of their opening are left alone.
local function give_back(keys, args)
    for i, key in ipairs(keys) do
        local counter, amount = read(key, args[2 * i - 1]), tonumber(args[2 * i])
        if counter and amount > 0 and counter[3] >= amount then
            redis.call('HINCRBY', key, 'd', '-' .. args[2 * i])
        end
    end
    return { 'given_back' }
end

-- Opens a counter with nothing granted, whatever there was before.
-- Arguments: the window's end and until when the counter is kept, in ms (0 for never).
-- Answers 'opened' with the opening, or 'outside' with the time, which is behind the window.
local function open(keys, args)
    local key, till, kept, now = keys[1], tonumber(args[1]), tonumber(args[2]), now_ms()
    if till > 0 and now >= till then
        return { 'outside', now }
    end
    openings = openings + 1
    local opening = incarnation() .. '-' .. openings
    redis.call('DEL', key)
    redis.call('HSET', key, 'i', opening, 'g', 0, 'f', 0, 'd', 0)
    if kept > 0 then
        redis.call('PEXPIREAT', key, args[2])
    end
    return { 'opened', opening }
end

-- Raises what is granted to a sum; a lower one does nothing, so grants may come twice and in any order.
-- Arguments: the opening, the sum. Answers 'granted' with the counter, or 'lost' where it isn't of that opening.
local function grant(keys, args)
    local counter = read(keys[1], args[1])
    if not counter then
        return { 'lost', 1 }
    end
    if tonumber(args[2]) > counter[1] then
        redis.call('HSET', keys[1], 'g', args[2])
        counter[1] = tonumber(args[2])
    end
    return { 'granted', counter }
end

-- Ends an opening: nothing is spent of it from now on.
-- Arguments: the opening. Answers 'ended' with the counter as it was, or 'lost' where it isn't of that opening.
local function close(keys, args)
    local counter = read(keys[1], args[1])
    if not counter then
        return { 'lost', 1 }
    end
    redis.call('DEL', keys[1])
    return { 'ended', counter }
end

-- Reads counters. Arguments: of each its opening. Answers the time and the counters, each with what its leases may still give back,
-- an empty one where it isn't of its opening.
local function look(keys, args)
    local counters, now = {}, now_ms()
    for i, key in ipairs(keys) do
        counters[i] = read(key, args[i]) or {}
        if counters[i][1] then
            local _, leased = leases(key, now)
            counters[i][4] = leased
        end
    end
    return { now, unpack(counters) }
end

local function register(name, callback, flags)
    redis.register_function { function_name = 'tenantry_@version@_' .. name, callback = callback, flags = flags }
end

register('spend', spend, {})
register('lease', lease, {})
register('open', open, {})
register('grant', grant, {})
-- What frees is done where memory is short, too.
register('give_back', give_back, { 'allow-oom' })
register('end_lease', end_lease, { 'allow-oom' })
register('close', close, { 'allow-oom' })
register('look', look, { 'no-writes' })
