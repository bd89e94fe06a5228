"""What Redis does in one step: the Lua scripts of `redis`. Each sees only keys that begin with KEYS[1], the prefix.

    <prefix>meta          hash: id, epoch, grants, tickets and the statistics
    <prefix>value:KEY     hash: value, version, writer, at
    <prefix>requests:KEY  sorted set: request by the version that it got
    <prefix>held          set: the keys that have holders
    <prefix>holders:KEY   hash: token → holder
    <prefix>waiters       hash: ticket → waiter
    <prefix>wanted:KEY    sorted set: ticket by ticket
    <prefix>bell:WAKE     channel: where a waiter listens

Tokens are text in JSON: Lua would keep 14 digits of a number. Nothing expires by Redis's clock: it is a wall clock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_COMMON = """
local p = KEYS[1]
local meta = p .. 'meta'

local function holders_of(key)
  local found = {}
  for _, text in ipairs(redis.call('HVALS', p .. 'holders:' .. key)) do found[#found + 1] = cjson.decode(text) end
  table.sort(found, function(a, b) return tonumber(a.token) < tonumber(b.token) end)
  return found
end

local function remove_holder(key, token)
  redis.call('HDEL', p .. 'holders:' .. key, token)
  if redis.call('EXISTS', p .. 'holders:' .. key) == 0 then redis.call('SREM', p .. 'held', key) end
end

local function put_holder(holder)
  redis.call('HSET', p .. 'holders:' .. holder.key, holder.token, cjson.encode(holder))
  redis.call('SADD', p .. 'held', holder.key)
end

local function ring_next(keys)
  for _, key in ipairs(keys) do
    for _, ticket in ipairs(redis.call('ZRANGE', p .. 'wanted:' .. key, 0, -1)) do
      local text = redis.call('HGET', p .. 'waiters', ticket)
      if text and redis.call('PUBLISH', p .. 'bell:' .. cjson.decode(text).wake, '!') > 0 then break end
    end
  end
end

local function leave(ticket)
  local text = redis.call('HGET', p .. 'waiters', ticket)
  if not text then return {} end
  local keys = cjson.decode(text).keys
  redis.call('HDEL', p .. 'waiters', ticket)
  for _, key in ipairs(keys) do redis.call('ZREM', p .. 'wanted:' .. key, ticket) end
  return keys
end
"""


@dataclass(frozen=True)
class Script:
    """A script, and the name under which Redis keeps it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


GET = Script("""
local p = KEYS[1]
local found = redis.call('HMGET', p .. 'value:' .. ARGV[1], 'value', 'version', 'writer', 'at')
found[5] = redis.call('HGET', p .. 'meta', 'id')
return found
""")
"""key → value, version, writer, at, incarnation."""

PUT = Script("""
local p, key, value, expected, writer, at, request, remembered, incarnation, id =
  KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
local place, requests = p .. 'value:' .. key, p .. 'requests:' .. key
local found = redis.call('HMGET', place, 'value', 'version', 'writer', 'at')
local version = tonumber(found[2] or 0)
if request ~= '' then
  local seen = redis.call('ZSCORE', requests, request)
  if seen then return {'seen', found[1], tostring(version), found[3], found[4], seen} end
end
local known = redis.call('HGET', p .. 'meta', 'id')
if (expected ~= '' and tonumber(expected) ~= version) or (incarnation ~= '' and incarnation ~= known) then
  return {'conflict', found[1], tostring(version), found[3], found[4], known}
end
if not known then redis.call('HSET', p .. 'meta', 'id', id) end
version = version + 1
redis.call('HSET', place, 'value', value, 'version', version, 'writer', writer, 'at', at)
if request ~= '' then
  redis.call('ZADD', requests, version, request)
  redis.call('ZREMRANGEBYSCORE', requests, '-inf', version - remembered)
end
return {'done', value, tostring(version), writer, at}
""")
"""key, value, expected, writer, at, request, how many to remember, incarnation, new id → outcome, then as `GET`."""

BEGIN = Script("""
local meta = KEYS[1] .. 'meta'
if ARGV[2] == '' then
  redis.call('HSETNX', meta, 'id', ARGV[1])
elseif redis.call('HGET', meta, 'id') == ARGV[1] then
  redis.call('HSETNX', meta, 'epoch', ARGV[2])
end
return redis.call('HMGET', meta, 'id', 'epoch')
""")
"""A new id, '': draw the incarnation. Its id, its epoch: begin it. → id, epoch."""

ATTEMPT = Script(
    _COMMON
    + """
local wish = cjson.decode(ARGV[1])
local epoch = redis.call('HGET', meta, 'epoch')
if not epoch then return '{"missing":true}' end

local again, granted, died, expired, gone, blocking = {}, nil, 0, 0, {}, {}
for _, key in ipairs(wish.keys) do
  local others, together = {}, wish.mode == 'collaborative'
  for _, holder in ipairs(holders_of(key)) do
    if holder.wish == wish.id then
      granted = granted or {}
      granted[key] = holder.token
    elseif wish.died[holder.token] then
      died = died + 1
      gone[#gone + 1] = holder
    elseif wish.ended[holder.token .. ':' .. holder.renewals] then
      expired = expired + 1
      gone[#gone + 1] = holder
    elseif wish.replaces[holder.wish] then
      gone[#gone + 1] = holder
    elseif wish.reentrant and holder.owner == wish.owner then
      again[key] = holder
    else
      others[#others + 1] = holder
      together = together and holder.mode == 'collaborative'
    end
  end
  if not (together and #others < wish.limit) then
    for _, holder in ipairs(others) do blocking[#blocking + 1] = holder end
  end
end
if granted then return cjson.encode({granted = granted}) end

local ahead, absent, seen = {}, {}, {}
for _, key in ipairs(wish.keys) do
  if not again[key] then
    local before = wish.ticket == '' and '+inf' or '(' .. wish.ticket
    for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', p .. 'wanted:' .. key, '-inf', before)) do
      local text = not seen[ticket] and redis.call('HGET', p .. 'waiters', ticket)
      seen[ticket] = true
      if text and wish.stalled[ticket] then
        absent[#absent + 1] = ticket
      elseif text then
        ahead[#ahead + 1] = cjson.decode(text)
      end
    end
  end
end

for _, holder in ipairs(gone) do remove_holder(holder.key, holder.token) end
for _, ticket in ipairs(absent) do leave(ticket) end
if died > 0 then redis.call('HINCRBY', meta, 'died', died) end
if expired > 0 then redis.call('HINCRBY', meta, 'expired', expired) end

if #blocking == 0 and #ahead == 0 then
  local tokens = {}
  for _, key in ipairs(wish.keys) do
    local counter = redis.call('HINCRBY', meta, 'grants', 1)
    local holder = again[key]
    if holder then
      holder.depth = holder.depth + 1
    else
      holder = {
        key = key, owner = wish.owner, mode = wish.mode, lease_s = wish.lease_s, renewals = 0, depth = 1,
        since = wish.since, process = wish.process, wish = wish.id,
        token = string.format('%.0f', tonumber(epoch) * 2 ^ wish.counter_bits + counter)
      }
    end
    put_holder(holder)
    tokens[key] = holder.token
  end
  if wish.ticket ~= '' then
    leave(wish.ticket)
    redis.call('HINCRBY', meta, 'contended', 1)
    redis.call('HINCRBYFLOAT', meta, 'waited_s', wish.waited_s)
    if wish.waited_s > tonumber(redis.call('HGET', meta, 'longest_wait_s') or 0) then
      redis.call('HSET', meta, 'longest_wait_s', wish.waited_s)
    end
  end
  if wish.mode == 'collaborative' then ring_next(wish.keys) end
  return cjson.encode({granted = tokens})
end

local ticket = wish.ticket
if wish.patient and (ticket == '' or redis.call('HEXISTS', p .. 'waiters', ticket) == 0) then
  ticket = tostring(redis.call('HINCRBY', meta, 'tickets', 1))
  redis.call('HSET', p .. 'waiters', ticket, cjson.encode({
    ticket = ticket, keys = wish.keys, owner = wish.owner, mode = wish.mode, since = wish.since,
    process = wish.process, wake = wish.wake
  }))
  for _, key in ipairs(wish.keys) do redis.call('ZADD', p .. 'wanted:' .. key, ticket, ticket) end
end
if #gone > 0 or #absent > 0 then ring_next(wish.keys) end
return cjson.encode({ticket = ticket, holders = blocking, ahead = ahead})
"""
)
"""The wish as JSON → JSON: `granted` (key → token), or `ticket`, `holders` and `ahead`, or `missing` for the epoch."""

WITHDRAW = Script(_COMMON + "ring_next(leave(ARGV[1]))")
"""ticket → nothing."""

RENEW = Script(
    _COMMON
    + """
local found = {}
for i = 2, #ARGV, 2 do
  local text = redis.call('HGET', p .. 'holders:' .. ARGV[i], ARGV[i + 1])
  local holder = text and cjson.decode(text)
  if not holder or holder.owner ~= ARGV[1] then return {ARGV[i], ARGV[i + 1]} end
  found[#found + 1] = holder
end
for _, holder in ipairs(found) do
  holder.renewals = holder.renewals + 1
  put_holder(holder)
end
return {}
"""
)
"""owner, then key and token of each → nothing, or the key and token that are not held."""

RELEASE = Script(
    _COMMON
    + """
local found, keys = {}, {}
for i = 2, #ARGV, 2 do
  local text = redis.call('HGET', p .. 'holders:' .. ARGV[i], ARGV[i + 1])
  local holder = text and cjson.decode(text)
  if not holder or holder.owner ~= ARGV[1] then return {ARGV[i], ARGV[i + 1]} end
  found[#found + 1] = holder
end
for _, holder in ipairs(found) do
  if holder.depth > 1 then
    holder.depth = holder.depth - 1
    put_holder(holder)
  else
    remove_holder(holder.key, holder.token)
    redis.call('HINCRBY', meta, 'releases', 1)
    keys[#keys + 1] = holder.key
  end
end
ring_next(keys)
return {}
"""
)
"""As `RENEW`."""

BREAK = Script(
    _COMMON
    + """
local taken = redis.call('HVALS', p .. 'holders:' .. ARGV[1])
redis.call('DEL', p .. 'holders:' .. ARGV[1])
redis.call('SREM', p .. 'held', ARGV[1])
if #taken > 0 then redis.call('HINCRBY', meta, 'broken', #taken) end
ring_next({ARGV[1]})
return taken
"""
)
"""key → the holders it was taken from, as JSON."""

STATUS = Script(
    _COMMON
    + """
local held = {}
for _, key in ipairs(redis.call('SMEMBERS', p .. 'held')) do
  for _, text in ipairs(redis.call('HVALS', p .. 'holders:' .. key)) do held[#held + 1] = text end
end
return {redis.call('HGETALL', meta), held, redis.call('HVALS', p .. 'waiters')}
"""
)
"""→ the fields of meta, all holders as JSON, all waiters as JSON."""
