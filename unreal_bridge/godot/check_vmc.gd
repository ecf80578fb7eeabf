# Headless check: godot3-server --path unreal_bridge/godot -s check_vmc.gd PORT FRAMES
# Prints "listening", then one JSON line with the last frame's weights.
extends SceneTree

var receiver
var frames = 0
var wanted = 1
var begun = OS.get_ticks_msec()


func _init():
	var arguments = OS.get_cmdline_args()
	wanted = int(arguments[arguments.size() - 1])
	receiver = load("facerig_vmc.gd").new()
	receiver.port = int(arguments[arguments.size() - 2])
	receiver.connect("applied", self, "_applied")
	print("listening" if receiver.listen() == OK else "cannot listen")


func _applied(weights):
	frames += 1
	if frames == wanted:
		var turns = {}
		for bone in receiver.turns:
			var turn = receiver.turns[bone]
			turns[bone] = [turn.x, turn.y, turn.z, turn.w]
		print(to_json({"weights": weights, "turns": turns, "bad": receiver.bad}))


func _idle(_delta):
	receiver.poll()
	if frames >= wanted or OS.get_ticks_msec() - begun > 20000:
		quit()
	return false  # a true here does not end a SceneTree; quit() does


func _finalize():
	receiver.close()
	receiver.free()
