-- A wrk script: requests with a method, and each with another browser's cookie.
--
--   wrk -s site.lua URL -- METHOD PATH COOKIES [METHOD PATH ...]
--
-- COOKIES is a file with a Cookie header field on each line, or "-" for none. Each thread has cookies of its own, and takes them in
-- turn, so that two requests of one browser are never under way at once if there are more cookies than connections. Of several
-- methods and paths they are taken in turn, too.

local threads = 0

function setup(thread)
	thread:set("id", threads)
	threads = threads + 1
	thread:set("cookie_threads", tonumber(os.getenv("WRK_THREADS") or "1"))
end

function init(args)
	local cookies = {}
	local n = 0
	if args[3] ~= "-" then
		for line in io.lines(args[3]) do
			if n % cookie_threads == id then
				cookies[#cookies + 1] = line
			end
			n = n + 1
		end
	end
	-- One line alone is for all threads: everybody is the same browser.
	if n == 1 then
		for line in io.lines(args[3]) do
			cookies[1] = line
		end
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
	turn = 0
end

function request()
	turn = turn % #prepared + 1
	return prepared[turn]
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("RESULT %d %d %d %d %.0f %.0f %.0f\n",
		summary.requests, e.status, e.connect + e.read + e.write + e.timeout, summary.duration,
		latency:percentile(50), latency:percentile(99), latency.max))
end
