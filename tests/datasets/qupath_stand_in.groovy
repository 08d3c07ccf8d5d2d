// What the scripts of docs/qupath/ call of QuPath, over GeoJSON: stand_in.groovy SCRIPT IMAGE OBJECTS.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper

class Thing {
    Map feature

    private String kind() { feature.properties.objectType }

    boolean isTile() { kind() == "tile" }

    boolean isTMACore() { kind() == "tma_core" }

    boolean isDetection() { kind() in ["detection", "cell", "tile"] }

    Object getPathClass() { feature.properties.classification?.name }
}

class Server {
    URI image

    Collection<URI> getURIs() { [image] }
}

def things = { File file -> new JsonSlurper().parse(file, "UTF-8").features.collect { new Thing(feature: it) } }
def view = things(new File(args[2]))
def shell = new GroovyShell(new Binding(
    getCurrentServer: { -> new Server(image: new URI(args[1])) },
    getAllObjects: { boolean root -> root ? [null] + view : view },
    importObjectsFromFile: { String path -> view.addAll(things(new File(path))); true },
    exportObjectsToGeoJson: { Collection objects, String path, String option ->
        assert option == "FEATURE_COLLECTION"
        new File(path).setText(JsonOutput.toJson([type: "FeatureCollection", features: objects*.feature]), "UTF-8")
    },
))
shell.evaluate(new File(args[0]))
