-- wrk: a distinct path for every request, from the file that is named after `--`.
local paths, at = {}, 0

function init(arguments)
    for path in io.lines(arguments[1]) do
        paths[#paths + 1] = path
    end
end

function request()
    at = at % #paths + 1
    return wrk.format("GET", paths[at])
end
