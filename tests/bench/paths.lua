-- wrk: a distinct path for every request, from the file that is named after `--`; with the mean pause between two requests
-- of a connection, in milliseconds, after that.
local paths, at = {}, 0

function init(arguments)
    for path in io.lines(arguments[1]) do
        paths[#paths + 1] = path
    end
    local pause = tonumber(arguments[2])
    if pause and pause > 0 then
        function delay()
            return math.random(0, 2 * pause)
        end
    end
end

function request()
    at = at % #paths + 1
    return wrk.format("GET", paths[at])
end
