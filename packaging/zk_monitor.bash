# Completion of zk_monitor's options for bash. A test compares the options here with those of --help.
_zk_monitor() {
    # shellcheck disable=SC2034 # _init_completion sets all of them; -s takes --name=value apart
    local cur prev words cword split
    _init_completion -s -n : || return
    case $prev in
        --file | -f | --zookeeper_pass_file | --zookeeper_ca | --zookeeper_cert | --zookeeper_key)
            _filedir
            return
            ;;
        --state_dir)
            _filedir -d
            return
            ;;
        --level | -l)
            mapfile -t COMPREPLY < <(compgen -W 'DEBUG INFO WARN ERROR' -- "${cur^^}")
            return
            ;;
        --syslog | -s)
            mapfile -t COMPREPLY < <(compgen -W 'daemon user local0 local1 local2 local3 local4 local5 local6 local7' -- "$cur")
            return
            ;;
        --zookeeper | -z)
            _known_hosts_real -- "$cur"
            return
            ;;
        --zookeeper_user | --zookeeper_pass | --session_timeout | --reread | --cluster_name | -c | --cluster_prefix | \
            --port | -p | --bind | --explain | --suggest | --test-alert | --silence | --since | --for | --comment | --unsilence)
            return
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '
        -h --help
        --version
        -f --file
        -z --zookeeper
        --zookeeper_user
        --zookeeper_pass
        --zookeeper_pass_file
        --zookeeper_tls
        --zookeeper_ca
        --zookeeper_cert
        --zookeeper_key
        --session_timeout
        --reread
        --state_dir
        -c --cluster_name
        --cluster_prefix
        -p --port
        --bind
        -l --level
        -s --syslog
        --check-config
        --once
        --replay
        --since
        --test-alert
        --explain
        --suggest
        --silence
        --for
        --until-recovery
        --comment
        --unsilence
        --silences
    ' -- "$cur")
} &&
    complete -F _zk_monitor zk_monitor
