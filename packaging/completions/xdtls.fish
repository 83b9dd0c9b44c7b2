# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_xdtls_global_optspecs
    string join \n log= log-format= h/help V/version
end

function __fish_xdtls_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_xdtls_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_xdtls_using_subcommand
    set -l cmd (__fish_xdtls_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c xdtls -n "__fish_xdtls_needs_command" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_needs_command" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_needs_command" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_needs_command" -s V -l version -d 'Print version'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "gateway" -d 'End DTLS associations and forward their datagrams to backends'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "peer" -d 'Be a gateway that also keeps links to peers, which either end may open'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "connect" -d 'Carry local UDP flows to a gateway, each in an association of its own'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "check" -d 'Find what is wrong with a configuration, without starting anything'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "doctor" -d 'Find what keeps XDP from a network interface, or slows it down'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "dev-certs" -d 'Make a CA and certificates for development'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "status" -d 'Ask a running gateway or client how it is doing'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "associations" -d 'List, show or close associations of a running gateway or client'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "drops" -d 'Say what a running gateway or client has dropped, why, and what to do'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "reload" -d 'Let a running gateway read its certificates, rules and limits again'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "trace" -d 'Watch the datagrams of one association or address'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "allow" -d 'Show or change which sources alone may send to a running gateway'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "deny" -d 'Show or change which sources may not send to a running gateway'
complete -c xdtls -n "__fish_xdtls_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l config -d 'Configuration file' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l datapath -d 'How packets travel: auto, xdp or socket' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l interface -d 'Network interface of the outside, for XDP' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l xdp-mode -d 'How the XDP program runs: auto, native or generic' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l zero-copy -d 'Whether AF_XDP shares memory with the driver: auto, require or off' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l transmit -d 'How packets leave, if XDP brings them: auto, socket or xdp' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand gateway" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l config -d 'Configuration file: a gateway\'s, with `[[peer]]` tables' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l datapath -d 'How packets travel: auto, xdp or socket' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l interface -d 'Network interface of the outside, for XDP' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l xdp-mode -d 'How the XDP program runs: auto, native or generic' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l zero-copy -d 'Whether AF_XDP shares memory with the driver: auto, require or off' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l transmit -d 'How packets leave, if XDP brings them: auto, socket or xdp' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand peer" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l gateway -d 'UDP address of the gateway; an IPv6 address stands in brackets' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l listen -d 'Local UDP address that takes datagrams; each sender gets an association of its own' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l certificate -d 'Certificate of this client: PEM, the leaf first, then its chain; with several, the first that the gateway accepts is shown' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l key -d 'Private key of the certificate, PEM or DER: one for each, in the same order' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l key-passphrase-file -d 'File with the passphrase of the keys that are encrypted' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l ca -d 'CA certificates that the gateway\'s certificate must chain to: PEM' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l crl -d 'List of revoked certificates, PEM or DER; with any, every CA of the gateway\'s certificate needs one' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l psk-identity -d 'Identity of a pre-shared key, to be used instead of certificates' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l psk-file -d 'File with lines IDENTITY:KEY, the key in hexadecimal' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l server-name -d 'Name that the gateway\'s certificate must have [default: HOST]' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l idle-timeout -d 'Time without datagrams after which an association ends, from 1s to 24h' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l rekey-after-records -d 'Records of one direction after which an association gets new keys, from 256 to 16777216' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l rekey-after-bytes -d 'The same in bytes of datagrams, both directions together, from 1 MiB to 256 GiB' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l rekey-after-time -d 'The same in time, from 1m to 168h' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l max-associations -d 'Local programs, and so associations, at once, at most 2048' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l path-mtu -d 'Largest IP packet to the gateway in bytes, from 576 to 9216' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l admin-socket -d 'Unix socket for `xdtls status` [default: none]' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l datapath -d 'How packets travel: auto, xdp or socket' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l interface -d 'Network interface of the outside, for XDP' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l xdp-mode -d 'How the XDP program runs: auto, native or generic' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l zero-copy -d 'Whether AF_XDP shares memory with the driver: auto, require or off' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l transmit -d 'How packets leave, if XDP brings them: auto, socket or xdp' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -l allow-no-forward-secrecy -d 'Let a pre-shared key do alone, if the gateway has it so: who learns it later can read what is said now'
complete -c xdtls -n "__fish_xdtls_using_subcommand connect" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand check" -l config -d 'Configuration file of a gateway' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand check" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand check" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand check" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand check" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand doctor" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand doctor" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand doctor" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l out -d 'Folder for the files; made if it is not there' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l name -d 'One more client with this name; may be given several times' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l peer -d 'A peer with this name, which both answers and opens; may be given several times' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l days -d 'Days that the certificates are valid' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l key-type -d 'Keys of gateway and clients: ecdsa (P-256) or rsa (2048 bits, files named NAME-rsa)' -r -f -a "ecdsa\t'P-256'
rsa\t'2048 bits'"
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -l force -d 'Replace certificates and keys that are there, but never the CA'
complete -c xdtls -n "__fish_xdtls_using_subcommand dev-certs" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand status" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand status" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand status" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand status" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand status" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -f -a "list" -d 'List associations, by id; the default'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -f -a "show" -d 'Show all that is known of one association'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -f -a "close" -d 'Close an association; its peer is told'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and not __fish_seen_subcommand_from list show close help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l limit -d 'How many to list, at most 1000' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l after -d 'List those behind this id: the next page' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from show" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from show" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from show" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from close" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from close" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from close" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from close" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from help" -f -a "list" -d 'List associations, by id; the default'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show all that is known of one association'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from help" -f -a "close" -d 'Close an association; its peer is told'
complete -c xdtls -n "__fish_xdtls_using_subcommand associations; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand drops" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand drops" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand drops" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand drops" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand drops" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand reload" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand reload" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand reload" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand reload" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand reload" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l count -d 'End after so many lines' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l time -d 'End after so much time' -r
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand trace" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -f -a "list" -d 'Show the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and not __fish_seen_subcommand_from add remove list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from add" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from add" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from add" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from remove" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from remove" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from remove" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from list" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from list" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from list" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from help" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand allow; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -f -a "list" -d 'Show the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and not __fish_seen_subcommand_from add remove list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from add" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from add" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from add" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from add" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from remove" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from remove" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from remove" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from list" -l socket -d 'Admin socket of the running gateway or client' -r -F
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from list" -l log -d 'How much to log: off, error, warn, info, debug or trace' -r -f -a "off\t''
error\t''
warn\t''
info\t''
debug\t''
trace\t''"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from list" -l log-format -d 'Form of the log: human, or json for programs, one object a line' -r -f -a "human\t'For people'
json\t'For programs'"
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from list" -l json -d 'Print JSON, for programs'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from help" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand deny; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "gateway" -d 'End DTLS associations and forward their datagrams to backends'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "peer" -d 'Be a gateway that also keeps links to peers, which either end may open'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "connect" -d 'Carry local UDP flows to a gateway, each in an association of its own'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "check" -d 'Find what is wrong with a configuration, without starting anything'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "doctor" -d 'Find what keeps XDP from a network interface, or slows it down'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "dev-certs" -d 'Make a CA and certificates for development'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "status" -d 'Ask a running gateway or client how it is doing'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "associations" -d 'List, show or close associations of a running gateway or client'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "drops" -d 'Say what a running gateway or client has dropped, why, and what to do'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "reload" -d 'Let a running gateway read its certificates, rules and limits again'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "trace" -d 'Watch the datagrams of one association or address'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "allow" -d 'Show or change which sources alone may send to a running gateway'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "deny" -d 'Show or change which sources may not send to a running gateway'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and not __fish_seen_subcommand_from gateway peer connect check doctor dev-certs status associations drops reload trace allow deny help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from associations" -f -a "list" -d 'List associations, by id; the default'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from associations" -f -a "show" -d 'Show all that is known of one association'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from associations" -f -a "close" -d 'Close an association; its peer is told'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from allow" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from allow" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from allow" -f -a "list" -d 'Show the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from deny" -f -a "add" -d 'Put a prefix or address on the list'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from deny" -f -a "remove" -d 'Take a prefix off the list, written as the list has it'
complete -c xdtls -n "__fish_xdtls_using_subcommand help; and __fish_seen_subcommand_from deny" -f -a "list" -d 'Show the list'
