-- A wrk script: requests with a method, each with the cookie of another browser.
--
--   wrk -s site.lua URL -- METHOD PATH COOKIES [METHOD PATH ...]
--
-- COOKIES is a file with a Cookie header field on each line, or "-" for none. Every thread has a Lua
-- state of its own, and so a share of the cookies, which it sends in turn: two requests of one
-- browser are never in flight at once if there are more cookies than connections. Several methods
-- and paths are sent in turn, too.
--
-- The line RESULT has the requests, failures, broken connections, microseconds of the run, p50, p99,
-- p99.9 and the longest latency, and the shortest time between two requests of one browser; that is
-- 0 if no browser came back. All times are in microseconds.

local ffi = require("ffi")
ffi.cdef [[
	typedef struct { long seconds, nanoseconds; } bench_time;
	int clock_gettime(int clock, bench_time *now);
]]
local monotonic = 1
local clock = ffi.new("bench_time")

local function now()
	ffi.C.clock_gettime(monotonic, clock)
	return tonumber(clock.seconds) * 1e6 + tonumber(clock.nanoseconds) / 1e3
end

local threads = {}

function setup(thread)
	thread:set("id", #threads)
	thread:set("cookie_threads", tonumber(os.getenv("WRK_THREADS") or "1"))
	threads[#threads + 1] = thread
end

function init(args)
	local cookies, all = {}, {}
	if args[3] ~= "-" then
		for line in io.lines(args[3]) do
			if #all % cookie_threads == id then
				cookies[#cookies + 1] = line
			end
			all[#all + 1] = line
		end
	end
	-- A single line is for all threads: all connections are of one browser.
	if #all == 1 then
		cookies = all
	end
	local work = { { args[1], args[2] } }
	for i = 4, #args - 1, 2 do
		work[#work + 1] = { args[i], args[i + 1] }
	end
	prepared = {}
	for i = 1, math.max(1, #cookies) do
		for _, w in ipairs(work) do
			local headers = {}
			if cookies[i] then
				headers["Cookie"] = cookies[i]
			end
			if w[1] == "POST" then
				headers["Content-Length"] = "0"
			end
			prepared[#prepared + 1] = wrk.format(w[1], w[2], headers)
		end
	end
	turn, sent, shortest = 0, {}, 0
end

function request()
	turn = turn % #prepared + 1
	local time, last = now(), sent[turn]
	if last and (shortest == 0 or time - last < shortest) then
		shortest = time - last
	end
	sent[turn] = time
	return prepared[turn]
end

function done(summary, latency, requests)
	local e = summary.errors
	local shortest = 0
	for _, thread in ipairs(threads) do
		local s = thread:get("shortest")
		if s > 0 and (shortest == 0 or s < shortest) then
			shortest = s
		end
	end
	io.write(string.format("RESULT %d %d %d %d %.0f %.0f %.0f %.0f %.0f\n",
		summary.requests, e.status, e.connect + e.read + e.write + e.timeout, summary.duration,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
		shortest))
end
