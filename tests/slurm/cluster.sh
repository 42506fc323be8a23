# A Slurm cluster of one node in a folder of its own: sourced; needs root, slurmctld, slurmd. Ends with the shell.
# cluster_start DIR -> SLURM_CONF exported, partitions `normal` (preempted by requeue) and `urgent`, cluster_wait JOB...
cluster_start() {
    cluster=$1
    mkdir -p "$cluster/state" "$cluster/spool"
    host=$(hostname)
    cpus=$(nproc)
    port=$((20000 + $$ % 20000))
    cat > "$cluster/slurm.conf" <<CONF
ClusterName=outpost
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/slurmd.log
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=bf_interval=1,sched_min_interval=1000000
KillWait=10
MinJobAge=3600
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=$host CPUs=$cpus State=UNKNOWN
PartitionName=normal Nodes=localhost Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes=localhost MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off
CONF
    export SLURM_CONF="$cluster/slurm.conf"
    slurmctld -D -f "$SLURM_CONF" > "$cluster/ctld.out" 2>&1 &
    ctld=$!
    slurmd -D -N localhost -f "$SLURM_CONF" > "$cluster/d.out" 2>&1 &
    slurmd_pid=$!
    i=0
    while [ "$i" -lt 60 ]; do
        [ "$(sinfo -h -o %T 2> /dev/null | head -n 1)" = idle ] && return 0
        sleep 0.5
        i=$((i + 1))
    done
    return 1
}
cluster_stop() {
    [ -n "${ctld:-}" ] || return 0
    scancel -u root 2> /dev/null
    kill "$slurmd_pid" "$ctld" 2> /dev/null
    wait "$slurmd_pid" "$ctld" 2> /dev/null
}
# All tasks of a job, a line each.
job_tasks() { scontrol -o show job 2> /dev/null | grep -E "(^| Array)JobId=$1 "; }
job_state() { job_tasks "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | sort -u | tr '\n' ' '; }
# All tasks of the jobs have ended; 0 when every one is COMPLETED.
cluster_wait() { # cluster_wait SECONDS JOB...
    end=$(($(date +%s) + $1))
    shift
    for waited; do
        while :; do
            case $(job_state "$waited") in
            'COMPLETED ') break ;;
            '') return 1 ;;
            *PENDING* | *RUNNING* | *COMPLETING* | *REQUEUED* | *SUSPENDED*) [ "$(date +%s)" -lt "$end" ] || return 1 ;;
            *) return 1 ;;
            esac
            for late in $(squeue -h -t PENDING -o '%A %r' | sed -n 's/ BeginTime$//p'); do # not two minutes from now
                scontrol update "jobid=$late" starttime=now 2> /dev/null
            done
            sleep 0.3
        done
    done
}
